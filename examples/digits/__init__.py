"""The digit zoo: small encoders of one architecture, each trained for another task on digits."""
