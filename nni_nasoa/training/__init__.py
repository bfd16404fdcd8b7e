"""How a step is taken, and how long it takes: for proxy training, landmarks, measuring and fine-tuning."""
