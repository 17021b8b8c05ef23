"""What needs attention, how figures run from day to day, and the first steps. Pure."""

from blossom.home.rules.attention import Alert, Facts, Troubled, alerts
from blossom.home.rules.steps import Step, StepsTaken, steps
from blossom.home.rules.trends import Day, Trend, days_of, trends

__all__ = ["Alert", "Day", "Facts", "Step", "StepsTaken", "Trend", "Troubled", "alerts", "days_of", "steps", "trends"]
