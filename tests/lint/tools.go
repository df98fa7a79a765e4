//go:build tools

// Package lint pins kube-score, the linter of the manifests, which is built from its module's main package.
package lint

import _ "github.com/zegl/kube-score/cmd/kube-score"
