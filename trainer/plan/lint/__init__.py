"""What is wrong with a set of images and captions, why that matters and what can be done, before anything trains."""
