"""What should sound, where and when: broadcasts, recurrence, arbitration, timeline, studio."""
