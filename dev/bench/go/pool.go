package main

import (
	"sync"
	"sync/atomic"
)

// each calls `work` with 0 to count-1, at most `atATime` at once, and returns the first error.
func each(count, atATime int, work func(number int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range min(atATime, count) {
		group.Go(func() {
			for failed.Load() == nil {
				number := int(next.Add(1)) - 1
				if number >= count {
					return
				}
				if err := work(number); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
