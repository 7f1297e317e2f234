import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

/** Prints the main classes that Apache Kafka's jars on the class path have for its scripts. */
public final class ToolNames {
    private static final List<String> PACKAGES = Arrays.asList(
            "kafka/admin/", "kafka/tools/", "org/apache/kafka/connect/cli/",
            "org/apache/kafka/connect/mirror/", "org/apache/kafka/shell/",
            "org/apache/kafka/tools/");

    public static void main(String[] arguments) throws IOException {
        for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (path.endsWith(".jar")) {
                try (JarFile jar = new JarFile(path)) {
                    Collections.list(jar.entries()).forEach(ToolNames::look);
                }
            }
        }
    }

    private static void look(JarEntry entry) {
        String file = entry.getName();
        if (file.endsWith(".class") && PACKAGES.stream().anyMatch(file::startsWith)) {
            String name = file.substring(0, file.length() - 6).replace('/', '.');
            try {
                Class.forName(name, false, ToolNames.class.getClassLoader())
                        .getMethod("main", String[].class);
                System.out.println(name);
            } catch (ReflectiveOperationException | LinkageError none) {
                // No program.
            }
        }
    }
}
