package main

// A user's changes, and how long the operator takes to follow them.

import (
	"encoding/json"
	"fmt"
	"net/http"
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
	Seconds           float64 // time limit
}

func (f *fleet) name(number int) string { return fmt.Sprintf("%s-%05d", f.Prefix, number) }
func (f *fleet) limit() time.Duration   { return time.Duration(f.Seconds * float64(time.Second)) }
func (f *fleet) collection() string     { return fmt.Sprintf(agents, f.Namespace) }
func (f *fleet) of(resource string) string {
	return fmt.Sprintf("/api/v1/namespaces/%s/%s", f.Namespace, resource)
}

func (f *fleet) manifest(number int, spec json.RawMessage) object {
	return object{
		"apiVersion": "litclaw.dev/v1alpha1",
		"kind":       "OpenClawAgent",
		"metadata":   object{"name": f.name(number), "labels": f.Labels},
		"spec":       spec,
	}
}

func (f *fleet) create(k *kube, seen func(number int, made *agent)) error {
	return each(f.Count, f.AtATime, func(number int) error {
		var made agent
		if err := send(k, http.MethodPost, f.collection(), f.manifest(number, f.Spec), &made); err != nil {
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

func (f *fleet) setBudget(k *kube, name, budget string) error {
	patch := []byte(fmt.Sprintf(`{"spec":{"key":{"maxBudget":%q}}}`, budget))
	return k.do(http.MethodPatch, f.collection()+"/"+name, mergeType, patch, nil)
}

// changeRoute patches a route and waits until as many ConfigMaps as there are agents contain a marker.
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

// rotate creates a rotation and waits until its status counts all keys as rotated.
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

// wipe removes the finalizers of the agents of a namespace, and deletes the agents with all that they own. The operator must
// be stopped, or it would put them back.
func wipe(text []byte) (any, error) {
	var given fleet
	k, err := start(text, &given)
	if err != nil {
		return nil, err
	}
	var finalized []string
	_, err = all(k, given.collection(), func(_ string, seen *agent) bool {
		if len(seen.Metadata.Finalizers) > 0 {
			finalized = append(finalized, seen.Metadata.Name)
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	free := []byte(`{"metadata":{"finalizers":null}}`)
	tasks := []func() error{func() error {
		return each(len(finalized), given.AtATime, func(number int) error {
			return k.do(http.MethodPatch, given.collection()+"/"+finalized[number], mergeType, free, nil)
		})
	}}
	for _, resource := range []string{"events", "secrets", "configmaps"} {
		tasks = append(tasks, func() error {
			ours := "?labelSelector=app.kubernetes.io/managed-by%3Dlitclaw"
			return k.do(http.MethodDelete, given.of(resource)+ours, "", nil, nil)
		})
	}
	if err := each(len(tasks), len(tasks), func(number int) error { return tasks[number]() }); err != nil {
		return nil, err
	}
	// After what they own, or the garbage collector would delete that one by one, twenty a second.
	err = k.do(http.MethodDelete, given.collection(), "", nil, nil)
	return object{"seconds": time.Since(began).Seconds()}, err
}
