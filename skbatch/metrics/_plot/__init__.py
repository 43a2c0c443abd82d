"""Pictures of scores, drawn by matplotlib when they are asked for."""
