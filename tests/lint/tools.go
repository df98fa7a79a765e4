//go:build tools

// Package lint pins what the manifests are checked with, which is built from its own module's main package.
package lint

import _ "github.com/zegl/kube-score/cmd/kube-score"
