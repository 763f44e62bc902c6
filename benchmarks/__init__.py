"""What is fast, measured: `make bench ONLY=name` runs one of these modules, `make bench` all of them."""
