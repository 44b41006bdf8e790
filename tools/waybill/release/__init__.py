"""What moves models from environment to environment: pin, promote, roll back, look, look back."""
