"""Search for better parameters with Optuna, judged on validation volumes."""
