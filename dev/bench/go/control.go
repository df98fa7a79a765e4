package main

// How the benchmark controls an instant proxy.

import (
	"encoding/json"
	"net/http"
)

// control serves /bench/: the calls since the last `forget`, and what changes the proxy's behaviour.
func (p *proxy) control(w http.ResponseWriter, r *http.Request) {
	p.lock.Lock()
	defer p.lock.Unlock()
	var answer any = object{}
	switch r.URL.Path {
	case "/bench/counts":
		answer = object{"counts": p.counts, "keys": len(p.rows)}
	case "/bench/journal":
		answer = p.journal
	case "/bench/forget":
		p.counts, p.journal = map[string]int{}, nil
	case "/bench/empty":
		p.rows, p.order, p.aliases = map[string]*keyRow{}, nil, map[string]string{}
	case "/bench/hang":
		if p.hanging == nil {
			p.hanging = make(chan struct{})
		}
	case "/bench/answer":
		if p.hanging != nil {
			close(p.hanging)
			p.hanging = nil
		}
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// hang keeps a request without an answer until the client gives up or the proxy answers again, then closes its connection.
func hang(r *http.Request, until <-chan struct{}) {
	select {
	case <-until:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}
