"""Where and when: the plan, the worker loop, Ray, the tile tasks, progress."""
