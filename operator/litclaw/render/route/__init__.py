"""One module per object of a LiteLLMRoute, and its config.yaml."""
