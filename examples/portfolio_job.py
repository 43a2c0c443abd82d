"""What a portfolio job calls every evening: prices in, every ticker accounted for."""

from skbatch import BatchForecastingSystem
from skbatch.datasets import load_sp500_prices

prices = load_sp500_prices().iloc[-2520:]  # ten years of 20 real stocks
prices.iloc[-40:, 3] = prices.iloc[-41, 3]  # BBY's feed stands still

system = BatchForecastingSystem(horizon=5)  # or preset="speed", memory_budget="4GiB"
print(system.estimate_memory(prices))
system.fit(prices.iloc[:-1])
result = system.forecast(prices.iloc[[-1]])  # a new day, without fitting anew
print(result.to_frame().iloc[2:5].round(5).to_string())
print(result.performance)
