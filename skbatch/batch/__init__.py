"""From prices to forecasts, whatever the data and the machine throw at it."""
