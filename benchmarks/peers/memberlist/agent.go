// One member of a hashicorp/memberlist cluster as a process; the contract is in ../README.md.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	joinRetry    = time.Second
	leaveTimeout = 5 * time.Second
)

type seeds []string

func (s *seeds) String() string { return "" }

func (s *seeds) Set(address string) error {
	*s = append(*s, address)
	return nil
}

type report struct {
	At      float64  `json:"at"`
	Event   string   `json:"event"`
	Size    int      `json:"size,omitempty"`
	Members []string `json:"members,omitempty"`
}

// view is this process's view of the membership. It is printed at each change, but neither before
// the process is ready nor once it leaves.
type view struct {
	mutex       sync.Mutex
	members     map[string]bool
	withMembers bool
	printing    bool
}

func (v *view) NotifyJoin(node *memberlist.Node) { v.change(node.Name, true) }

func (v *view) NotifyLeave(node *memberlist.Node) { v.change(node.Name, false) }

func (v *view) NotifyUpdate(*memberlist.Node) {}

func (v *view) change(name string, present bool) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.members[name] == present {
		return
	}
	if present {
		v.members[name] = true
	} else {
		delete(v.members, name)
	}
	v.print()
}

func (v *view) ready() {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	write(report{Event: "ready"})
	v.printing = true
	v.print()
}

func (v *view) leaving() {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.printing = false
}

func (v *view) print() {
	if !v.printing {
		return
	}
	line := report{Event: "view", Size: len(v.members)}
	if v.withMembers {
		for name := range v.members {
			line.Members = append(line.Members, name)
		}
		slices.Sort(line.Members)
	}
	write(line)
}

func write(line report) {
	line.At = float64(time.Now().UnixMicro()) / 1e6
	encoded, err := json.Marshal(line)
	if err == nil {
		_, err = os.Stdout.Write(append(encoded, '\n'))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// release waits for a line; false when the process is to end instead.
func release(input *bufio.Reader, stop <-chan os.Signal) bool {
	line := make(chan error, 1)
	go func() {
		_, err := input.ReadString('\n')
		line <- err
	}()
	select {
	case err := <-line:
		if err != nil {
			log.Fatal("standard input ended before the line to join at")
		}
		return true
	case <-stop:
		return false
	}
}

// join tries the seeds until one answers. A process whose only seed is itself founds the
// cluster. False when the process is to end instead.
func join(list *memberlist.Memberlist, listen string, through seeds, stop <-chan os.Signal) bool {
	others := slices.DeleteFunc(through, func(seed string) bool { return seed == listen })
	for len(others) > 0 {
		answered, err := list.Join(others)
		if answered > 0 {
			break
		}
		log.Printf("no seed has answered, trying again: %v", err)
		select {
		case <-time.After(joinRetry):
		case <-stop:
			return false
		}
	}
	return true
}

func main() {
	var through seeds
	listen := flag.String("listen", "", "HOST:PORT")
	flag.Var(&through, "seed", "HOST:PORT; any number")
	noMembers := flag.Bool("no-members", false, "print only the sizes of the views")
	wait := flag.Bool("wait", false, "join at a line on standard input")
	tether := flag.Bool("tether", false, "end at once when standard input ends")
	flag.Parse()
	host, service, err := net.SplitHostPort(*listen)
	if err != nil {
		log.Fatalf("--listen: %v", err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		log.Fatalf("--listen: %v", err)
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	view := &view{members: map[string]bool{}, withMembers: !*noMembers}
	config := memberlist.DefaultLANConfig()
	config.Name = *listen
	config.BindAddr, config.AdvertiseAddr = host, host
	config.BindPort, config.AdvertisePort = port, port
	config.Events = view
	list, err := memberlist.Create(config)
	if err != nil {
		log.Fatal(err)
	}
	view.ready()
	input := bufio.NewReader(os.Stdin)
	released := !*wait || release(input, stop)
	if *tether {
		go func() {
			_, _ = io.Copy(io.Discard, input)
			os.Exit(1)
		}()
	}
	if released && join(list, *listen, through, stop) {
		<-stop
	}
	view.leaving()
	if err := list.Leave(leaveTimeout); err != nil {
		log.Print(err)
	}
	if err := list.Shutdown(); err != nil {
		log.Fatal(err)
	}
}
