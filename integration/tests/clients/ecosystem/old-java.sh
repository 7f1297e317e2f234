#!/usr/bin/env bash
# The story through Java clients of years ago. usage: old-java.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need mvn
need javac

classes_of() {
    cat >pom.xml <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ratel</groupId><artifactId>story</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-clients</artifactId>
      <version>$1</version></dependency>
  </dependencies>
</project>
POM
    mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib
    javac -cp 'lib/*' -d classes "$here"/old-java/*.java
}

for version in 2.1.1 3.9.1; do
    once "kafka-clients-$version" "$(cat "$here"/old-java/* "$0" | cksum)" classes_of "$version"
    folder=$cache/kafka-clients-$version
    "${small_jvm[@]}" -cp "$folder/classes:$folder/lib/*" OldStory "$bootstrap"
done
