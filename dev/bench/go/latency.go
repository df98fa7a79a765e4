package main

// How long the operator takes to follow one change.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

const (
	stirEvery  = 200 * time.Millisecond
	settleTime = 5 * time.Second // until the changed agents are being reconciled
)

// stir changes budgets until it is stopped: first each agent's once, then a random agent's every 200 ms.
func (f *fleet) stir(k *kube, stop <-chan struct{}) error {
	set := func(number, change int) error { return f.setBudget(k, f.name(number), fmt.Sprintf("%d.75", 10+change)) }
	if err := each(f.Count, f.AtATime, func(number int) error { return set(number, 0) }); err != nil {
		return err
	}
	for change := 1; ; change++ {
		select {
		case <-stop:
			return nil
		case <-time.After(stirEvery):
			if err := set(rand.IntN(f.Count), change); err != nil {
				return err
			}
		}
	}
}

// latencies changes one agent at a time and measures until the operator has followed.
//
// `What` is "budget": until the status shows the new budget; or "secret": the Secret is deleted, until it is back with
// another key. With `Beside`, the budgets of those agents are changed meanwhile, and the time limit ends the measurement
// instead of failing it: the change that is then under way counts with the time that it has taken.
func latencies(text []byte) (any, error) {
	given := struct {
		fleet
		Changes int
		What    string
		Beside  *fleet
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
	stop, stirred := make(chan struct{}), make(chan error, 1)
	if given.Beside != nil {
		go func() { stirred <- given.Beside.stir(k, stop) }()
		time.Sleep(settleTime)
	}
	var took []float64
	first := int(time.Now().Unix() % 1e6) // another one than in the last measurement, where a budget must change
	outOfTime := false
	for number := 0; number < given.Changes && !outOfTime; number++ {
		name := given.name(rand.IntN(given.Count))
		budget := fmt.Sprintf("%d.25", first+number)
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
			err = given.setBudget(k, name, budget)
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
				if given.Beside == nil || !errors.Is(err, context.DeadlineExceeded) {
					return nil, fmt.Errorf("the operator hasn't followed the change of the %s of %s: %w", given.What, name, err)
				}
				took = append(took, time.Since(began).Seconds())
				done, outOfTime = true, true
			}
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
	}
	close(stop)
	if given.Beside != nil {
		if err := <-stirred; err != nil {
			return nil, err
		}
	}
	slices.Sort(took)
	return object{"seconds": took}, nil
}
