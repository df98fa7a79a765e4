"""Objects of a LiteLLMRoute, one module per object."""
