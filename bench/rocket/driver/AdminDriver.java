import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.Permission;
import java.util.concurrent.atomic.AtomicReference;

import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Runs mqadmin's commands one after the other in one JVM, since starting one for each takes longer than the commands do.
 *
 * A request on standard input is: a name that is not used, the number of arguments, each argument, an empty text. An answer on standard
 * output is: the exit code, what the command printed, what it printed as errors. Numbers are four bytes, texts are UTF-8 with their length
 * before them. It ends with its input. The JVM must be started with -Djava.security.manager=allow: that is how a call of exit is caught.
 */
@SuppressWarnings("removal")
public final class AdminDriver {
    private static final int LIMIT_MS = 60_000;
    private static final int LATE = 124;

    /** Thrown in place of ending the JVM. */
    private static final class Exited extends SecurityException {
        final int code;

        Exited(int code) {
            super("exit " + code);
            this.code = code;
        }
    }

    private static final class Warden extends SecurityManager {
        static volatile boolean over; // the input has ended

        @Override
        public void checkExit(int status) {
            if (!over) {
                throw new Exited(status);
            }
        }

        @Override
        public void checkPermission(Permission p) {
        }

        @Override
        public void checkPermission(Permission p, Object context) {
        }
    }

    /** One run of a command: its output and code. */
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
            for (ByteArrayOutputStream s : new ByteArrayOutputStream[] {out, err}) {
                byte[] b = s.toByteArray();
                to.writeInt(b.length);
                to.write(b);
            }
            to.flush();
        }
    }

    /** Throws away the commands of the last run: some keep clients that they have shut down. */
    private static final class Forgetful extends MQAdminStartup {
        static void forget() {
            SUB_COMMANDS.clear();
        }
    }

    private static final AtomicReference<Run> CURRENT = new AtomicReference<>();

    /** The commands' standard output or error. What a run left behind prints after its end belongs to nobody. */
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
        System.setSecurityManager(new Warden());
        while (true) {
            try {
                text(in);
            } catch (EOFException e) {
                Warden.over = true;
                Runtime.getRuntime().halt(0);
            }
            String[] words = new String[in.readInt()];
            for (int i = 0; i < words.length; i++) {
                words[i] = text(in);
            }
            text(in);
            run(words).answer(answers);
        }
    }

    private static String text(DataInputStream in) throws Exception {
        byte[] b = new byte[in.readInt()];
        in.readFully(b);
        return new String(b, StandardCharsets.UTF_8);
    }

    private static Run run(String[] words) throws Exception {
        Run run = new Run();
        CURRENT.set(run);
        Thread t = new Thread(() -> call(run, words), "command");
        t.setDaemon(true);
        t.start();
        t.join(LIMIT_MS);
        if (t.isAlive()) {
            StringBuilder at = new StringBuilder("the command did not end; it is at\n");
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

    private static void call(Run run, String[] words) {
        try {
            Forgetful.forget();
            MQAdminStartup.main0(words, null);
        } catch (Exited e) {
            run.end(e.code);
        } catch (Throwable e) {
            e.printStackTrace();
            run.end(1);
        }
    }
}
