"""What serves a trained run: editors for each game."""
