// Command netpol enforces networking.k8s.io/v1 NetworkPolicy on one node: on any change it renders
// every policy into one nftables table and loads it as one transaction. Small on purpose: a test
// cluster has tens of pods. IPv4 only; pods of the host's network are no pods to it.
package main

import (
	"flag"
	"fmt"
	"log"
	"os/exec"
	"sort"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	coreListers "k8s.io/client-go/listers/core/v1"
	networkingListers "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// A burst of changes is rendered once.
const settle = 20 * time.Millisecond

type listers struct {
	pods       coreListers.PodLister
	namespaces coreListers.NamespaceLister
	policies   networkingListers.NetworkPolicyLister
}

// watch returns what is listed and a channel that says when it has changed.
func watch(client kubernetes.Interface) (listers, <-chan struct{}) {
	dirty := make(chan struct{}, 1)
	mark := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, namespaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { mark() },
		UpdateFunc: func(any, any) { mark() },
		DeleteFunc: func(any) { mark() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		pods.Informer(), namespaces.Informer(), policies.Informer(),
	} {
		informer.AddEventHandler(handler)
	}
	factory.Start(nil)
	factory.WaitForCacheSync(nil)
	return listers{pods.Lister(), namespaces.Lister(), policies.Lister()}, dirty
}

// world is sorted, so that the same objects render the same.
func (l listers) world() world {
	w := world{namespaces: map[string]labels.Set{}}
	pods, _ := l.pods.List(labels.Everything())
	for _, pod := range pods {
		ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
		if pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !ended {
			w.pods = append(w.pods, pod)
		}
	}
	sort.Slice(w.pods, func(i, j int) bool { return w.pods[i].UID < w.pods[j].UID })
	namespaces, _ := l.namespaces.List(labels.Everything())
	for _, namespace := range namespaces {
		w.namespaces[namespace.Name] = namespace.Labels
	}
	w.policies, _ = l.policies.List(labels.Everything())
	sort.Slice(w.policies, func(i, j int) bool { return w.policies[i].UID < w.policies[j].UID })
	return w
}

func load(rules string) error {
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if said, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s\n%s", err, said, rules)
	}
	return nil
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	objects, dirty := watch(kubernetes.NewForConfigOrDie(config))
	loaded := ""
	for range dirty {
		time.Sleep(settle)
		for {
			w := objects.world()
			rules := w.render()
			if rules == loaded {
				break
			}
			if err := load(rules); err != nil {
				log.Print(err)
				time.Sleep(time.Second)
				continue
			}
			loaded = rules
			log.Printf("%d policies, %d pods", len(w.policies), len(w.pods))
		}
	}
}
