package main

// Agents in the state in which the operator leaves them once they are ready. Sections that measure a start prepare their
// agents with it, because the operator would need a multiple of that time to make them.

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// preparing is a sample agent that the operator has made ready, and how many like it there are to be.
type preparing struct {
	fleet
	Specs            []json.RawMessage // agent number n has the spec at n modulo their count
	Sample, UID, Key string            // the sample's name, uid and virtual key
	Finalizers       []string
	Status           json.RawMessage
	Children         []object // the sample's Secret and ConfigMap
	Digest           string   // the annotation with the digest of a child
	URL, Master      string
	Making           []call // the calls to LiteLLM that made the sample's key
}

func prepare(text []byte) (any, error) {
	var given preparing
	k, err := start(text, &given)
	if err != nil {
		return nil, err
	}
	for _, child := range given.Children {
		if err := checkSeal(child, given.Digest); err != nil {
			return nil, err
		}
	}
	proxy := dial(given.URL, given.Master, given.AtATime)
	began := time.Now()
	err = each(given.Count, given.AtATime, func(number int) error { return given.one(k, proxy, number) })
	return object{"seconds": time.Since(began).Seconds()}, err
}

// one makes an agent, its key, its Secret and its ConfigMap, and writes its status.
func (p *preparing) one(k *kube, proxy *litellm, number int) error {
	manifest := p.manifest(number, p.Specs[number%len(p.Specs)])
	manifest["metadata"].(object)["finalizers"] = p.Finalizers
	var made object
	if err := send(k, http.MethodPost, p.collection(), manifest, &made); err != nil {
		return err
	}
	own := p.own(p.name(number), made["metadata"].(object)["uid"].(string), newKey())
	for _, one := range p.Making {
		if err := proxy.do(proxy.master, one, own.Replace(string(one.Body))); err != nil {
			return err
		}
	}
	for _, child := range p.Children {
		text, err := json.Marshal(child)
		if err != nil {
			return err
		}
		var copied object
		if err := json.Unmarshal([]byte(own.Replace(string(text))), &copied); err != nil {
			return err
		}
		if err := seal(copied, p.Digest); err != nil {
			return err
		}
		// Of other managers' annotations the operator keeps none.
		collection := p.of(strings.ToLower(copied["kind"].(string))+"s") + "?fieldManager=litclaw"
		if err := send(k, http.MethodPost, collection, copied, nil); err != nil {
			return err
		}
	}
	made["status"] = json.RawMessage(own.Replace(string(p.Status)))
	return send(k, http.MethodPut, p.collection()+"/"+p.name(number)+"/status", made, nil)
}

// own replaces the sample's name, uid and key by an agent's.
func (p *preparing) own(name, uid, key string) *strings.Replacer {
	pairs := append([]string{p.Sample, name, p.UID, uid, encoded(p.Key), encoded(key)}, keyPairs(p.Key, key)...)
	return strings.NewReplacer(pairs...)
}

func encoded(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }

func send(k *kube, method, path string, body object, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return k.do(method, path, jsonType, text, into)
}

// seal writes the operator's digest of an object into its annotations: of the object without that annotation, and of the
// names alone of a Secret's values (`sealed` in litclaw/render/metadata.py).
func seal(body object, annotation string) error {
	meta := body["metadata"].(object)
	annotations, _ := meta["annotations"].(object)
	if annotations == nil {
		annotations = object{}
	}
	delete(annotations, annotation)
	if delete(meta, "annotations"); len(annotations) > 0 {
		meta["annotations"] = annotations
	}
	data, found := body["data"].(object)
	if body["kind"] == "Secret" && found {
		names := []string{}
		for name := range data {
			names = append(names, name)
		}
		slices.Sort(names)
		body["data"] = names
	}
	digest, err := digestOf(body)
	if found {
		body["data"] = data
	}
	annotations[annotation] = digest
	meta["annotations"] = annotations
	return err
}

// checkSeal seals a child of the sample's, and fails where the operator's digest is another one.
func checkSeal(child object, annotation string) error {
	annotations, _ := child["metadata"].(object)["annotations"].(object)
	want := annotations[annotation]
	if err := seal(child, annotation); err != nil {
		return err
	}
	if got := child["metadata"].(object)["annotations"].(object)[annotation]; got != want {
		return fmt.Errorf("the operator's digest of a %v is %v, and the benchmark's %v", child["kind"], want, got)
	}
	return nil
}

// digestOf is the first 16 characters of the SHA-256 of a value's JSON with sorted keys and without spaces.
func digestOf(value any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	sum := sha256.Sum256(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	return hex.EncodeToString(sum[:])[:16], nil
}
