// The policies of a file such as peers.json through OPA: JSON bytes in, decision as JSON bytes out, in nanoseconds
// of CPU. Same arguments and output as bench_rego.
package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"syscall"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"
)

type subject struct {
	Name     string            `json:"name"`
	Version  string            `json:"rego_version"`
	Query    string            `json:"query"`
	Modules  map[string]string `json:"modules"`
	Data     map[string]any    `json:"data"`
	DataFile string            `json:"data_file"`
	Input    json.RawMessage   `json:"input"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cpuNs() float64 {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

func prepare(dir string, s *subject) func() string {
	data := s.Data
	if s.DataFile != "" {
		f, err := os.Open(filepath.Join(dir, s.DataFile))
		must(err)
		z, err := gzip.NewReader(f)
		must(err)
		bs, err := io.ReadAll(z)
		must(err)
		must(util.UnmarshalJSON(bs, &data))
	}
	if data == nil {
		data = map[string]any{}
	}
	version := ast.RegoV1
	if s.Version == "v0" {
		version = ast.RegoV0
	}
	options := []func(*rego.Rego){rego.Query(s.Query), rego.Store(inmem.NewFromObject(data)), rego.SetRegoVersion(version)}
	for name, text := range s.Modules {
		options = append(options, rego.Module(name, text))
	}
	ctx := context.Background()
	q, err := rego.New(options...).PrepareForEval(ctx)
	must(err)
	return func() string {
		var input any
		must(util.UnmarshalJSON(s.Input, &input))
		value, err := ast.InterfaceToValue(input)
		must(err)
		rs, err := q.Eval(ctx, rego.EvalParsedInput(value))
		must(err)
		if len(rs) == 0 {
			return ""
		}
		bs, err := json.Marshal(rs[0].Expressions[0].Value)
		must(err)
		return string(bs)
	}
}

func main() {
	file := os.Args[1]
	flags := flag.NewFlagSet("opa-bench", flag.ExitOnError)
	only := flags.String("only", "", "")
	rounds := flags.Int("rounds", 5, "")
	ms := flags.Float64("ms", 20, "")
	must(flags.Parse(os.Args[2:]))
	bs, err := os.ReadFile(file)
	must(err)
	var all []*subject
	must(json.Unmarshal(bs, &all))
	for _, s := range all {
		if *only != "" && s.Name != *only {
			continue
		}
		decide := prepare(filepath.Dir(file), s)
		result := decide()
		start := cpuNs()
		for i := 0; i < 20; i++ {
			decide()
		}
		n := int(*ms*1e6/((cpuNs()-start)/20+1)) + 1
		ns := make([]float64, *rounds)
		for r := range ns {
			start := cpuNs()
			for i := 0; i < n; i++ {
				result = decide()
			}
			ns[r] = (cpuNs() - start) / float64(n)
		}
		sort.Float64s(ns)
		fmt.Printf("%s\t%.0f\t%.0f\t%s\n", s.Name, ns[0], ns[len(ns)/2], result)
	}
}
