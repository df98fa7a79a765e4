package main

// The machine's limits: the operator's writes and its calls to LiteLLM, repeated by a client that does nothing else.

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// start reads a command's settings and connects to the cluster.
func start(text []byte, into any) (*kube, error) {
	if err := json.Unmarshal(text, into); err != nil {
		return nil, err
	}
	return inCluster()
}

type write struct {
	Method, Path, Type, Body string
}

// raw makes, for each of a number of agents, the writes that the operator made for the sample agent, in the same order.
func raw(text []byte) (any, error) {
	given := struct {
		fleet
		Sample, UID string
		Passes      [][]write
	}{}
	k, err := start(text, &given)
	if err != nil {
		return nil, err
	}
	uids := make([]string, given.Count)
	if err := given.create(k, func(number int, made *agent) { uids[number] = made.Metadata.UID }); err != nil {
		return nil, err
	}
	var took []float64
	for _, writes := range given.Passes {
		began := time.Now()
		err := each(given.Count, given.AtATime, func(number int) error {
			own := strings.NewReplacer(given.Sample, given.name(number), given.UID, uids[number])
			for _, one := range writes {
				if err := k.do(one.Method, own.Replace(one.Path), one.Type, []byte(own.Replace(one.Body)), nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Seconds())
	}
	return object{"seconds": took}, nil
}

type litellm struct {
	url, master string
	http        *http.Client
}

func dial(url, master string, atATime int) *litellm {
	transport := &http.Transport{MaxIdleConnsPerHost: atATime, MaxConnsPerHost: atATime}
	return &litellm{url, master, &http.Client{Transport: transport, Timeout: time.Minute}}
}

func (l *litellm) do(bearer string, one call, body string) error {
	target := l.url + one.Path
	if one.Query != "" {
		target += "?" + one.Query
	}
	request, err := http.NewRequest(one.Method, target, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	request.Header.Set("Content-Type", jsonType)
	answer, err := l.http.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", one.Method, one.Path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	// A key that may call models only gets a 403 here. It tells the operator that the proxy has the key.
	refused := one.Own && answer.StatusCode == http.StatusForbidden
	if answer.StatusCode >= 300 && !refused {
		return fmt.Errorf("%s %s: %d %.300s", one.Method, one.Path, answer.StatusCode, text)
	}
	return nil
}

func newKey() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails, see its documentation
	return "sk-" + base64.RawURLEncoding.EncodeToString(random)
}

// ask returns what an instant proxy answers at one of its /bench/ paths.
func ask(text []byte) (any, error) {
	var given struct{ URL string }
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, err
	}
	answer, err := http.Get(given.URL)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	found, err := io.ReadAll(answer.Body)
	return json.RawMessage(found), err
}

// replaying is a recorded sequence of calls, with the parts that differ at each repetition.
type replaying struct {
	URL, Master    string
	Sample         string   // the sample agent's name
	Keys           []string // virtual keys, in the order in which the recorded calls make them
	Cluster        string   // replaced, or the operator would delete the keys as orphans
	Prepare, Calls []call   // Prepare isn't timed
	Count, AtATime int
}

func (r *replaying) own(number int, keys []string) *strings.Replacer {
	pairs := []string{r.Sample, fmt.Sprintf("bare-%d-%05d", runAt, number), r.Cluster, "00000000-0000-4000-8000-00000000bare"}
	for at, key := range r.Keys {
		pairs = append(pairs, keyPairs(key, keys[at])...)
	}
	return strings.NewReplacer(pairs...)
}

// keyPairs replaces a key, its token and the token's short forms by another key's; the longer ones go first.
func keyPairs(before, now string) []string {
	was, is := tokenOf(before), tokenOf(now)
	return []string{before, now, was, is, was[:16], is[:16], was[:8], is[:8]}
}

var runAt = time.Now().UnixMilli()

// replay makes the operator's calls for one agent, for each of a number of agents.
func replay(text []byte) (any, error) {
	var given replaying
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, err
	}
	proxy := dial(given.URL, given.Master, given.AtATime)
	keys := make([][]string, given.Count)
	for number := range keys {
		for range given.Keys {
			keys[number] = append(keys[number], newKey())
		}
	}
	pass := func(calls []call) (float64, error) {
		began := time.Now()
		err := each(given.Count, given.AtATime, func(number int) error {
			own := given.own(number, keys[number])
			for _, one := range calls {
				bearer := given.Master
				if one.Own {
					bearer = keys[number][len(given.Keys)-1]
				}
				one.Query = own.Replace(one.Query)
				if err := proxy.do(bearer, one, own.Replace(string(one.Body))); err != nil {
					return err
				}
			}
			return nil
		})
		return time.Since(began).Seconds(), err
	}
	if _, err := pass(given.Prepare); err != nil {
		return nil, err
	}
	took, err := pass(given.Calls)
	if err != nil {
		return nil, err
	}
	return object{"seconds": took}, forgetKeys(proxy, keys)
}

// forgetKeys deletes the keys of a replay, a hundred a call.
func forgetKeys(proxy *litellm, keys [][]string) error {
	var tokens []string
	for _, some := range keys {
		for _, key := range some {
			tokens = append(tokens, tokenOf(key))
		}
	}
	return deleteKeys(proxy, tokens)
}

func deleteKeys(proxy *litellm, tokens []string) error {
	for at := 0; at < len(tokens); at += pageSize {
		body, err := json.Marshal(object{"keys": tokens[at:min(at+pageSize, len(tokens))]})
		if err != nil {
			return err
		}
		if err := proxy.do(proxy.master, call{Method: http.MethodPost, Path: "/key/delete"}, string(body)); err != nil {
			return err
		}
	}
	return nil
}
