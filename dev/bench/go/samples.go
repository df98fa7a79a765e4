package main

// Answers of a real LiteLLM 1.106.2 with all their fields, so that parsing them costs the client what it costs with the
// real one.

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
		panic(err) // the text is part of this program
	}
	return found
}
