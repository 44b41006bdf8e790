// Command promrules evaluates alerts with the libraries of Prometheus, as its own `promtool test rules`
// does, which comes with the client of every cloud.
//
// It reads a request from stdin and prints an answer. `series` and `at` are in the notation of
// promtool's unit tests; queries are evaluated at the last time of `at`.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

type request struct {
	Rules    json.RawMessage   `json:"rules"`
	Interval model.Duration    `json:"interval"`
	Series   map[string]string `json:"series"`
	At       []string          `json:"at"`
	Queries  []string          `json:"queries"`
}

type answer struct {
	// By time, as it was asked: what fires then.
	Alerts map[string][]alert `json:"alerts"`
	// By query.
	Results map[string][]promql.Sample `json:"results"`
}

type alert struct {
	Labels      labels.Labels `json:"labels"`
	Annotations labels.Labels `json:"annotations"`
}

func main() {
	answer, err := run()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() (*answer, error) {
	asked := request{}
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return nil, err
	}
	if asked.Interval <= 0 || len(asked.At) == 0 {
		return nil, errors.New("interval and at are missing")
	}
	loaded, err := load(asked)
	if err != nil {
		return nil, err
	}
	defer loaded.Close()
	groups, err := groupsOf(asked, loaded)
	if err != nil {
		return nil, err
	}
	alerts, err := evaluate(asked, loaded, groups)
	if err != nil {
		return nil, err
	}
	results, err := query(asked, loaded)
	return &answer{alerts, results}, err
}

func load(asked request) (*promqltest.LazyLoader, error) {
	text := strings.Builder{}
	fmt.Fprintf(&text, "load %s\n", asked.Interval)
	for name, values := range asked.Series {
		fmt.Fprintf(&text, "  %s %s\n", name, values)
	}
	// As every Prometheus has them.
	options := promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true}
	return promqltest.NewLazyLoader(text.String(), options)
}

// loader hands the rules of the request to Prometheus, which would have them in files.
type loader struct {
	parser.Parser
	content []byte
}

func (l loader) Load(_ string, lax bool, names model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return rulefmt.Parse(l.content, lax, names, l.Parser, promslog.NewNopLogger())
}

func (l loader) Parse(query string) (parser.Expr, error) { return l.ParseExpr(query) }

func groupsOf(asked request, loaded *promqltest.LazyLoader) (map[string]*rules.Group, error) {
	read := parser.NewParser(parser.Options{})
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:            rules.EngineQueryFunc(loaded.QueryEngine(), loaded.Storage()),
		Appendable:           loaded.Storage(),
		Context:              context.Background(),
		NotifyFunc:           func(context.Context, string, ...*rules.Alert) {},
		Logger:               promslog.NewNopLogger(),
		Parser:               read,
		GroupLoader:          loader{read, bytes.TrimSpace(asked.Rules)},
		NameValidationScheme: model.LegacyValidation,
	})
	groups, errs := manager.LoadGroups(time.Duration(asked.Interval), labels.EmptyLabels(), "", nil, false, "rules")
	return groups, errors.Join(errs...)
}

func evaluate(asked request, loaded *promqltest.LazyLoader, groups map[string]*rules.Group) (map[string][]alert, error) {
	alerts := map[string][]alert{}
	times, err := timesOf(asked)
	if err != nil {
		return nil, err
	}
	for now := time.Duration(0); len(alerts) < len(times); now += time.Duration(asked.Interval) {
		var failed error
		loaded.WithSamplesTill(time.Unix(0, 0).Add(now), func(err error) { failed = err })
		for _, group := range groups {
			group.Eval(loaded.Context(), time.Unix(0, 0).Add(now))
			for _, rule := range group.Rules() {
				failed = errors.Join(failed, rule.LastError())
			}
		}
		if failed != nil {
			return nil, fmt.Errorf("at %s: %w", now, failed)
		}
		if text, wanted := times[now]; wanted {
			alerts[text] = firing(groups)
		}
	}
	return alerts, nil
}

func timesOf(asked request) (map[time.Duration]string, error) {
	times := map[time.Duration]string{}
	for _, text := range asked.At {
		at, err := model.ParseDuration(text)
		if err == nil && at%asked.Interval != 0 {
			err = fmt.Errorf("nothing is evaluated at %s, as the interval is %s", text, asked.Interval)
		}
		if err != nil {
			return nil, err
		}
		times[time.Duration(at)] = text
	}
	return times, nil
}

func firing(groups map[string]*rules.Group) []alert {
	found := []alert{}
	for _, group := range groups {
		for _, rule := range group.AlertingRules() {
			for _, active := range rule.ActiveAlerts() {
				if active.State == rules.StateFiring {
					found = append(found, alert{active.Labels.Copy(), active.Annotations.Copy()})
				}
			}
		}
	}
	return found
}

func query(asked request, loaded *promqltest.LazyLoader) (map[string][]promql.Sample, error) {
	results, ask := map[string][]promql.Sample{}, rules.EngineQueryFunc(loaded.QueryEngine(), loaded.Storage())
	last, err := model.ParseDuration(asked.At[len(asked.At)-1])
	if err != nil {
		return nil, err
	}
	at := time.Unix(0, 0).Add(time.Duration(last))
	for _, text := range asked.Queries {
		found, err := ask(loaded.Context(), text, at)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		results[text] = append([]promql.Sample{}, found...)
	}
	return results, nil
}
