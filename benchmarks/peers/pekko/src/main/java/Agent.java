import com.typesafe.config.ConfigFactory;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;
import org.apache.pekko.actor.AbstractActor;
import org.apache.pekko.actor.ActorSystem;
import org.apache.pekko.actor.Address;
import org.apache.pekko.actor.CoordinatedShutdown;
import org.apache.pekko.actor.Props;
import org.apache.pekko.cluster.Cluster;
import org.apache.pekko.cluster.ClusterEvent;
import sun.misc.Signal;

/** One member of a Pekko cluster as a process; the contract is in ../README.md. */
public final class Agent {
  private static final String SYSTEM = "peers";

  private static volatile boolean leaving = false;

  private Agent() {}

  /** The options of the command line. */
  private record Options(
      String listen, List<String> seeds, boolean withMembers, boolean waits, boolean tethered) {

    static Options of(String[] arguments) {
      String listen = null;
      List<String> seeds = new ArrayList<>();
      boolean withMembers = true;
      boolean waits = false;
      boolean tethered = false;
      for (int i = 0; i < arguments.length; i++) {
        switch (arguments[i]) {
          case "--listen" -> listen = arguments[++i];
          case "--seed" -> seeds.add(arguments[++i]);
          case "--no-members" -> withMembers = false;
          case "--wait" -> waits = true;
          case "--tether" -> tethered = true;
          default -> throw new IllegalArgumentException("no such option: " + arguments[i]);
        }
      }
      if (listen == null) {
        throw new IllegalArgumentException("--listen HOST:PORT is missing");
      }
      return new Options(listen, seeds, withMembers, waits, tethered);
    }
  }

  /** Prints events to what was the standard output, one JSON object a line, at once. */
  private record Printer(PrintStream out, boolean withMembers) {

    void ready() {
      print("ready", "");
    }

    void view(TreeSet<String> members) {
      String listed =
          members.stream().map(name -> '"' + name + '"').collect(Collectors.joining(",", "[", "]"));
      print("view", ",\"size\":" + members.size() + (withMembers ? ",\"members\":" + listed : ""));
    }

    private void print(String event, String rest) {
      Instant now = Instant.now();
      String at = String.format("%d.%06d", now.getEpochSecond(), now.getNano() / 1000);
      out.print("{\"at\":" + at + ",\"event\":\"" + event + "\"" + rest + "}\n");
      out.flush();
    }
  }

  /**
   * Prints the view at each change, from the one that holds this process until it leaves. A member
   * is one that is up, until it is removed: an unreachable one is a member still.
   */
  private static final class Follower extends AbstractActor {
    private final Cluster cluster = Cluster.get(getContext().getSystem());
    private final TreeSet<String> members = new TreeSet<>();
    private final Printer printer;
    private final String self = name(cluster.selfAddress());

    Follower(Printer printer) {
      this.printer = printer;
    }

    @Override
    public void preStart() {
      cluster.subscribe(
          getSelf(), ClusterEvent.initialStateAsEvents(), ClusterEvent.MemberEvent.class);
    }

    @Override
    public Receive createReceive() {
      return receiveBuilder()
          .match(ClusterEvent.MemberUp.class, event -> changed(members.add(name(event.member().address()))))
          .match(
              ClusterEvent.MemberWeaklyUp.class,
              event -> changed(members.add(name(event.member().address()))))
          .match(
              ClusterEvent.MemberRemoved.class,
              event -> changed(members.remove(name(event.member().address()))))
          .matchAny(event -> {})
          .build();
    }

    private void changed(boolean really) {
      if (really && members.contains(self) && !leaving) {
        printer.view(members);
      }
    }

    private static String name(Address address) {
      return address.getHost().orElseThrow() + ":" + address.getPort().orElseThrow();
    }
  }

  public static void main(String[] arguments) throws Exception {
    Options options = Options.of(arguments);
    Printer printer = new Printer(System.out, options.withMembers());
    System.setOut(System.err);

    Address listen = address(options.listen());
    Map<String, Object> canonical =
        Map.of(
            "pekko.remote.artery.canonical.hostname", listen.getHost().orElseThrow(),
            "pekko.remote.artery.canonical.port", listen.getPort().orElseThrow());
    ActorSystem system =
        ActorSystem.create(
            SYSTEM, ConfigFactory.parseMap(canonical).withFallback(ConfigFactory.load()));
    CountDownLatch released = new CountDownLatch(options.waits() ? 1 : 0);
    for (String name : List.of("TERM", "INT")) {
      Signal.handle(new Signal(name), signal -> leave(system, released));
    }
    system.actorOf(Props.create(Follower.class, () -> new Follower(printer)));
    printer.ready();

    Thread input = new Thread(() -> read(options, released), "input");
    input.setDaemon(true);
    input.start();
    released.await();
    if (!leaving) {
      Cluster cluster = Cluster.get(system);
      List<Address> seeds = options.seeds().stream().map(Agent::address).toList();
      cluster.joinSeedNodes(seeds.isEmpty() ? List.of(cluster.selfAddress()) : seeds);
    }
    system.getWhenTerminated().toCompletableFuture().join();
    if (!leaving) {
      System.err.println("the cluster has gone on without this process");
    }
    System.exit(leaving ? 0 : 1);
  }

  private static void leave(ActorSystem system, CountDownLatch released) {
    leaving = true;
    released.countDown();
    CoordinatedShutdown.get(system).runAll(CoordinatedShutdown.jvmExitReason());
  }

  /** Waits for the line of {@code --wait}, and with {@code --tether} for the end of the input. */
  private static void read(Options options, CountDownLatch released) {
    try {
      BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
      if (options.waits()) {
        if (lines.readLine() == null) {
          System.err.println("standard input ended before the line to join at");
          Runtime.getRuntime().halt(1);
        }
        released.countDown();
      }
      if (options.tethered()) {
        while (lines.readLine() != null) {}
        Runtime.getRuntime().halt(1);
      }
    } catch (IOException problem) {
      System.err.println("standard input: " + problem);
      Runtime.getRuntime().halt(1);
    }
  }

  private static Address address(String hostAndPort) {
    int colon = hostAndPort.lastIndexOf(':');
    return new Address(
        "pekko",
        SYSTEM,
        hostAndPort.substring(0, colon),
        Integer.parseInt(hostAndPort.substring(colon + 1)));
  }
}
