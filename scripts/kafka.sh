# Apache Kafka, for scripts that hold a server against it. To be sourced in the repository's root.
# Needs Java and Maven.

kafka_version=4.3.1
# Where its jars are, once `install_kafka` has run.
kafka_libs=.work/kafka-$kafka_version/libs

install_kafka() {
    local folder=.work/kafka-$kafka_version
    [ ! -d "$kafka_libs" ] || return 0
    mkdir -p "$folder"
    cat >"$folder/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ratel</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>$kafka_version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
      <version>$kafka_version</version></dependency>
  </dependencies>
</project>
XML
    (cd "$folder" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=libs.new &&
        mv libs.new libs)
}
