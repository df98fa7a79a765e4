package main

// What LiteLLM 1.106.2 answers with, taken from the real one: every field that it has, so that to read an answer costs what
// it costs with the real one.

import (
	_ "embed"
	"encoding/json"
)

const (
	litellmVersion = "1.106.2"
	modelName      = "gpt-4o"
	timeFormat     = "2006-01-02T15:04:05.000000Z07:00"
)

//go:embed row.json
var rowText []byte

//go:embed generated.json
var generatedText []byte

//go:embed model.json
var modelText []byte

func defaultRow() object { return parsed(rowText) }
func generated() object  { return parsed(generatedText) }
func modelInfo() object  { return parsed(modelText) }

func parsed(text []byte) object {
	var found object
	if err := json.Unmarshal(text, &found); err != nil {
		panic(err) // it is a part of this program
	}
	return found
}
