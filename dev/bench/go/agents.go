package main

// What a user does, and when the operator has followed.

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

const agents = "/apis/litclaw.dev/v1alpha1/namespaces/%s/openclawagents"

type agent struct {
	Metadata meta
	Data     map[string]string // of a Secret
	Status   struct {
		ObservedGeneration int
		Budget             string
		Conditions         []struct{ Type, Status string }
	}
}

func (a *agent) isReady() bool {
	if a.Status.ObservedGeneration != a.Metadata.Generation {
		return false
	}
	for _, condition := range a.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == "True"
		}
	}
	return false
}

type fleet struct {
	Namespace, Prefix string
	Count, AtATime    int
	Spec              json.RawMessage
	Labels            map[string]string
	Seconds           float64 // how long it may take
}

func (f *fleet) name(number int) string { return fmt.Sprintf("%s-%05d", f.Prefix, number) }
func (f *fleet) limit() time.Duration   { return time.Duration(f.Seconds * float64(time.Second)) }
func (f *fleet) collection() string     { return fmt.Sprintf(agents, f.Namespace) }
func (f *fleet) of(resource string) string {
	return fmt.Sprintf("/api/v1/namespaces/%s/%s", f.Namespace, resource)
}

func (f *fleet) create(k *kube, seen func(number int, made *agent)) error {
	return each(f.Count, f.AtATime, func(number int) error {
		body, err := json.Marshal(object{
			"apiVersion": "litclaw.dev/v1alpha1",
			"kind":       "OpenClawAgent",
			"metadata":   object{"name": f.name(number), "labels": f.Labels},
			"spec":       f.Spec,
		})
		if err != nil {
			return err
		}
		var made agent
		if err := k.do(http.MethodPost, f.collection(), jsonType, body, &made); err != nil {
			return err
		}
		seen(number, &made)
		return nil
	})
}

// converge creates agents and waits until every one is ready.
func converge(text []byte) (any, error) {
	var given fleet
	k, err := start(text, &given)
	if err != nil {
		return nil, err
	}
	version, err := k.version(given.collection())
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var creating time.Duration
	created := make(chan error, 1)
	go func() {
		err := given.create(k, func(int, *agent) {})
		creating = time.Since(began)
		created <- err
	}()
	ready := map[string]bool{}
	err = watch(k, given.collection(), version, given.limit(), func(_ string, seen *agent) bool {
		if seen.isReady() && strings.HasPrefix(seen.Metadata.Name, given.Prefix) {
			ready[seen.Metadata.Name] = true
		}
		return len(ready) == given.Count
	})
	took := time.Since(began)
	if err != nil {
		return nil, fmt.Errorf("%d of %d agents are ready: %w", len(ready), given.Count, err)
	}
	if err := <-created; err != nil {
		return nil, err
	}
	return object{"seconds": took.Seconds(), "creating": creating.Seconds()}, nil
}

// latencies changes one agent at a time and waits until the operator has followed.
//
// What is changed: the budget (followed when the status shows it), or the Secret is deleted (followed when it is there again with another key).
func latencies(text []byte) (any, error) {
	given := struct {
		fleet
		Changes int
		What    string
	}{}
	k, err := start(text, &given)
	if err != nil {
		return nil, err
	}
	collection := given.collection()
	if given.What == "secret" {
		collection = given.of("secrets")
	}
	version, err := k.version(collection)
	if err != nil {
		return nil, err
	}
	type sight struct {
		kind string
		seen *agent
		at   time.Time
	}
	sights := make(chan sight, 1000)
	ended := make(chan error, 1)
	go func() {
		ended <- watch(k, collection, version, given.limit(), func(kind string, seen *agent) bool {
			sights <- sight{kind, seen, time.Now()}
			return false
		})
	}()
	var took []float64
	for number := range given.Changes {
		name := given.name(rand.IntN(given.Count))
		budget := fmt.Sprintf("%d.25", 10+number)
		began := time.Now()
		followed := func(s sight) bool {
			return s.seen.Metadata.Name == name && s.seen.isReady() && s.seen.Status.Budget == budget
		}
		if given.What == "secret" {
			name += "-litellm"
			ended := ""
			followed = func(s sight) bool {
				if s.seen.Metadata.Name != name {
					return false
				}
				key := s.seen.Data["LITELLM_API_KEY"]
				if s.kind == "DELETED" {
					ended = key
				}
				return ended != "" && key != "" && key != ended
			}
			err = k.do(http.MethodDelete, collection+"/"+name, "", nil, nil)
		} else {
			patch := []byte(fmt.Sprintf(`{"spec":{"key":{"maxBudget":%q}}}`, budget))
			err = k.do(http.MethodPatch, collection+"/"+name, mergeType, patch, nil)
		}
		if err != nil {
			return nil, err
		}
		for done := false; !done; {
			select {
			case s := <-sights:
				if done = followed(s) && s.at.After(began); done {
					took = append(took, s.at.Sub(began).Seconds())
				}
			case err := <-ended:
				return nil, fmt.Errorf("%s of %s isn't followed: %w", given.What, name, err)
			}
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
	}
	slices.Sort(took)
	return object{"seconds": took}, nil
}

// changeRoute patches a route and waits until as many ConfigMaps as there are agents say so.
func changeRoute(text []byte) (any, error) {
	given := struct {
		fleet
		Route, Marker string
		Patch         json.RawMessage
	}{}
	k, err := start(text, &given)
	if err != nil {
		return nil, err
	}
	version, err := k.version(given.of("configmaps"))
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := k.do(http.MethodPatch, given.Route, mergeType, given.Patch, nil); err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	type configMap struct {
		Metadata meta
		Data     map[string]string
	}
	err = watch(k, given.of("configmaps"), version, given.limit(), func(_ string, seen *configMap) bool {
		if strings.Contains(seen.Data["openclaw.json"], given.Marker) {
			changed[seen.Metadata.Name] = true
		}
		return len(changed) == given.Count
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d ConfigMaps have changed: %w", len(changed), given.Count, err)
	}
	return object{"seconds": time.Since(began).Seconds()}, nil
}

const rotations = "/apis/litclaw.dev/v1alpha1/litellmkeyrotations"

// rotate makes a rotation and waits until it counts so many keys as rotated.
func rotate(text []byte) (any, error) {
	given := struct {
		fleet
		Name     string
		Rotation json.RawMessage
	}{}
	k, err := start(text, &given)
	if err != nil {
		return nil, err
	}
	version, err := k.version(rotations)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := k.do(http.MethodPost, rotations, jsonType, given.Rotation, nil); err != nil {
		return nil, err
	}
	type rotation struct {
		Metadata meta
		Status   struct{ Rotated int }
	}
	rotated := 0
	err = watch(k, rotations, version, given.limit(), func(_ string, seen *rotation) bool {
		if seen.Metadata.Name == given.Name {
			rotated = seen.Status.Rotated
		}
		return rotated >= given.Count
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d keys are rotated: %w", rotated, given.Count, err)
	}
	return object{"seconds": time.Since(began).Seconds()}, nil
}

// wipe takes away all that agents are and have in a namespace. The operator mustn't run: nobody else takes finalizers off.
func wipe(text []byte) (any, error) {
	var given fleet
	k, err := start(text, &given)
	if err != nil {
		return nil, err
	}
	var held []string
	_, err = all(k, given.collection(), func(_ string, seen *agent) bool {
		if len(seen.Metadata.Finalizers) > 0 {
			held = append(held, seen.Metadata.Name)
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	free := []byte(`{"metadata":{"finalizers":null}}`)
	err = each(len(held), given.AtATime, func(number int) error {
		return k.do(http.MethodPatch, given.collection()+"/"+held[number], mergeType, free, nil)
	})
	if err != nil {
		return nil, err
	}
	// Before the agents, or the garbage collector would take the children one by one, twenty a second.
	for _, collection := range []string{given.of("events"), given.of("secrets"), given.of("configmaps"), given.collection()} {
		selector := ""
		if collection != given.collection() {
			selector = "?labelSelector=app.kubernetes.io/managed-by%3Dlitclaw"
		}
		if err := k.do(http.MethodDelete, collection+selector, "", nil, nil); err != nil {
			return nil, err
		}
	}
	return object{"seconds": time.Since(began).Seconds()}, nil
}
