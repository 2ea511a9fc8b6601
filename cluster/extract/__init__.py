"""What is missing and how it is made: probes, cards, the plan, graphs."""
