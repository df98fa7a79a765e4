//go:build tools

// Package storage pins the local path provisioner, which is built from its own module's main package.
package storage

import _ "github.com/rancher/local-path-provisioner"
