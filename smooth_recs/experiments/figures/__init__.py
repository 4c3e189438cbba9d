"""The figures of the paper, and the numbers behind them."""
