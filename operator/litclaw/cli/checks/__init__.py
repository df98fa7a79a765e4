"""What ``litclaw doctor`` looks at. Every check reads, and none changes anything."""
