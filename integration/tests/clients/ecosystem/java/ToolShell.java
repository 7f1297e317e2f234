import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs many command-line tools of Apache Kafka in one JVM, one after another, as their scripts
 * would: each start of a JVM costs more than most tools do.
 *
 * <p>usage: ToolShell OUT ERRORS. Each line of the standard input is one command: a file to take
 * as the tool's standard input (or nothing), the main class, its arguments, parted by the unit
 * separator. What the tool prints is in the two files when its exit code appears on the standard
 * output, 124 for a tool that did not end within its minute.
 */
public final class ToolShell {
    private static final String SEPARATOR = "\u001f";
    private static final long LIMIT_MS = 60_000;
    private static final int TIMED_OUT = 124;

    /** Thrown where a tool would end its JVM. No exception, as tools catch those. */
    private static final class Ended extends Error {
        Ended() {
            super(null, null, false, false);
        }
    }

    private static volatile Integer code;
    /** What the tool wants done when its JVM ends: some print their result there. */
    private static final List<Runnable> hooks = new CopyOnWriteArrayList<>();

    public static void main(String[] arguments) throws Exception {
        Path out = Paths.get(arguments[0]);
        Path errors = Paths.get(arguments[1]);
        Exit.setExitProcedure((status, message) -> end(status));
        Exit.setHaltProcedure((status, message) -> end(status));
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        PrintStream answers = System.out;
        InputStream nothing = new ByteArrayInputStream(new byte[0]);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(SEPARATOR, -1);
            ByteArrayOutputStream said = new ByteArrayOutputStream();
            ByteArrayOutputStream complained = new ByteArrayOutputStream();
            System.setOut(new PrintStream(said, true, "UTF-8"));
            System.setErr(new PrintStream(complained, true, "UTF-8"));
            System.setIn(words[0].isEmpty() ? nothing : new FileInputStream(words[0]));
            int status = run(words[1], Arrays.copyOfRange(words, 2, words.length));
            System.out.flush();
            System.err.flush();
            Files.write(out, said.toByteArray());
            Files.write(errors, complained.toByteArray());
            answers.println(status);
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static void end(int status) {
        // The first word counts: a tool that catches everything would end once more, with 1.
        if (code == null) {
            code = status;
        }
        throw new Ended();
    }

    private static int run(String tool, String[] arguments) throws InterruptedException {
        code = null;
        hooks.clear();
        Thread runner = new Thread(() -> call(tool, arguments), tool);
        runner.setDaemon(true);
        runner.start();
        runner.join(LIMIT_MS);
        if (runner.isAlive()) {
            for (StackTraceElement frame : runner.getStackTrace()) {
                System.err.println("    at " + frame);
            }
            return TIMED_OUT;
        }
        return code == null ? 0 : code;
    }

    private static void call(String tool, String[] arguments) {
        try {
            Class.forName(tool).getMethod("main", String[].class)
                    .invoke(null, (Object) arguments);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Ended)) {
                thrown.getCause().printStackTrace();
                code = code == null ? 1 : code;
            }
        } catch (ReflectiveOperationException missing) {
            missing.printStackTrace();
            code = 127;
        }
        hooks.forEach(Runnable::run);
    }
}
