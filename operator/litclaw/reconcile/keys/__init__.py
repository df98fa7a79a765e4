"""The life of a virtual key: mint, deliver, limit, block, rotate, retire, end."""
