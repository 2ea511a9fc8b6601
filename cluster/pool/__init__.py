"""Who works: workers, the loop that keeps them busy, Ray, progress."""
