import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicReference;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Kafka's tools one after the other in one JVM, since starting one for each takes longer than the
 * tools do.
 *
 * A request on standard input is: the class, the number of arguments, each argument, what the tool reads as its standard
 * input. An answer on standard output is: the exit code, what the tool printed, what it printed as errors. Numbers are four
 * bytes, texts are UTF-8 with their length before them. It ends with its input.
 */
public final class Driver {
    private static final int LIMIT_MS = 60_000;
    private static final int LATE = 124;

    /** Thrown in place of ending the JVM. */
    private static final class Exited extends Error {
        Exited() {
            super("exit", null, false, false);
        }
    }

    /** One run of a tool: its output up to its first call of exit, and the code. */
    private static final class Run {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();
        private final ByteArrayOutputStream err = new ByteArrayOutputStream();
        private Integer code;

        synchronized void end(int status) {
            if (code == null) {
                code = status;
            }
        }

        synchronized void write(boolean error, byte[] b, int off, int len) {
            if (code == null) {
                (error ? err : out).write(b, off, len);
            }
        }

        synchronized void answer(DataOutputStream to) throws Exception {
            to.writeInt(code);
            bytes(to, out.toByteArray());
            bytes(to, err.toByteArray());
            to.flush();
        }

        private static void bytes(DataOutputStream to, byte[] b) throws Exception {
            to.writeInt(b.length);
            to.write(b);
        }
    }

    private static final AtomicReference<Run> CURRENT = new AtomicReference<>();

    /** The tools' standard output or error. What a run left behind prints after its end belongs to nobody. */
    private static final class Capture extends OutputStream {
        private final boolean error;

        Capture(boolean error) {
            this.error = error;
        }

        @Override
        public void write(int b) {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] b, int off, int len) {
            Run run = CURRENT.get();
            if (run != null) {
                run.write(error, b, off, len);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream answers = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out)));
        System.setOut(new PrintStream(new Capture(false), true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new Capture(true), true, StandardCharsets.UTF_8));
        Exit.setExitProcedure((status, message) -> leave(status));
        Exit.setHaltProcedure((status, message) -> leave(status));
        Exit.setShutdownHookAdder((name, hook) -> { }); // a tool's hooks end it early; nothing ends one early here
        while (true) {
            String name;
            try {
                name = text(in);
            } catch (EOFException e) {
                return;
            }
            String[] words = new String[in.readInt()];
            for (int i = 0; i < words.length; i++) {
                words[i] = text(in);
            }
            System.setIn(new ByteArrayInputStream(text(in).getBytes(StandardCharsets.UTF_8)));
            run(name, words).answer(answers);
        }
    }

    private static void leave(int status) {
        Run run = CURRENT.get();
        if (run != null) {
            run.end(status);
        }
        throw new Exited();
    }

    private static String text(DataInputStream in) throws Exception {
        byte[] b = new byte[in.readInt()];
        in.readFully(b);
        return new String(b, StandardCharsets.UTF_8);
    }

    private static Run run(String name, String[] words) throws Exception {
        Run run = new Run();
        CURRENT.set(run);
        Thread t = new Thread(() -> call(run, name, words), "tool");
        t.setDaemon(true);
        t.start();
        t.join(LIMIT_MS);
        if (t.isAlive()) {
            StringBuilder at = new StringBuilder("the tool did not end; it is at\n");
            for (StackTraceElement e : t.getStackTrace()) {
                at.append("  ").append(e).append('\n');
            }
            byte[] b = at.toString().getBytes(StandardCharsets.UTF_8);
            run.write(true, b, 0, b.length);
            t.interrupt();
        }
        run.end(t.isAlive() ? LATE : 0);
        CURRENT.set(null);
        return run;
    }

    private static void call(Run run, String name, String[] words) {
        try {
            Class<?> c = Class.forName(name);
            forget(c);
            c.getMethod("main", String[].class).invoke(null, (Object) words);
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Exited)) {
                e.getCause().printStackTrace();
                run.end(1);
            }
        } catch (Throwable e) {
            e.printStackTrace();
            run.end(1);
        }
    }

    /** Resets what a tool keeps in static fields: ConsoleConsumer counts its records in one. */
    private static void forget(Class<?> c) throws Exception {
        for (Field f : c.getDeclaredFields()) {
            if (f.getName().equals("messageCount")) {
                f.setAccessible(true);
                f.setInt(null, 0);
            }
        }
    }
}
