// The compiled half of the benchmark: a LiteLLM that answers at once, and clients that do only the measured work.
//
// Each command reads its settings as JSON from standard input, so that no argument contains a key, and prints JSON.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

var commands = map[string]func([]byte) (any, error){
	"serve":    serve,
	"converge": converge,
	"latency":  latencies,
	"route":    changeRoute,
	"rotate":   rotate,
	"wipe":     wipe,
	"raw":      raw,
	"prepare":  prepare,
	"replay":   replay,
	"ask":      ask,
}

func serve(text []byte) (any, error) {
	given := struct{ Address, Master string }{}
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, err
	}
	return nil, serveProxy(given.Address, given.Master)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 1 || commands[arguments[0]] == nil {
		return fmt.Errorf("usage: bench COMMAND <settings.json")
	}
	settings, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	result, err := commands[arguments[0]](settings)
	if err != nil || result == nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
