"""What hands models over to a place: environments, pins and whatever installs them."""
