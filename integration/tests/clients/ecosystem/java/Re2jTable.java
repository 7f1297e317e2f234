import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;

/** Says what RE2/J makes of the expressions of a table, in the form of the table itself. */
public final class Re2jTable {
    public static void main(String[] args) throws Exception {
        List<String> names = null;
        StringBuilder out = new StringBuilder();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            if (line.startsWith("#")) {
                out.append(line).append('\n');
            } else if (names == null) {
                names = List.of(line.split(" "));
                out.append(line).append('\n');
            } else {
                String expression = line.split("\t", 2)[0];
                out.append(expression).append('\t').append(standsFor(expression, names));
                out.append('\n');
            }
        }
        Files.writeString(Path.of(args[1]), out);
    }

    private static String standsFor(String expression, List<String> names) {
        Pattern pattern;
        try {
            pattern = Pattern.compile(expression);
        } catch (PatternSyntaxException invalid) {
            return "invalid";
        }
        String all = names.stream().filter(name -> pattern.matcher(name).matches())
            .collect(Collectors.joining(" "));
        return all.isEmpty() ? "nothing" : all;
    }
}
