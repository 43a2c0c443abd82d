"""Pictures of a walk forward and of the models in it."""
