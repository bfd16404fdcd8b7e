"""How a step is taken, and how long it takes: what proxy training, landmarks, measuring and fine-tuning share."""
