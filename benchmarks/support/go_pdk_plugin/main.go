// A plugin for benchmarks/through_kong.py: asks for the status, and for the request's log where it is 429; keeps nothing.
package main

import (
	"github.com/Kong/go-pdk"
	"github.com/Kong/go-pdk/server"
)

type Config struct{}

func New() interface{} { return &Config{} }

func (Config) Log(kong *pdk.PDK) {
	if status, err := kong.Response.GetStatus(); err == nil && status == 429 {
		_, _ = kong.Log.Serialize()
	}
}

func main() { _ = server.StartServer(New, "1.0.0", 0) }
