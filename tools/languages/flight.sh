#!/usr/bin/env bash
# Compiles and runs the Java program of docs/flight.md against the demo.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
go build -o "$dir/server" ./cmd/server
"$dir/server" --demo --grpc-addr=127.0.0.1:0 --http-addr=127.0.0.1:0 >"$dir/out" 2>"$dir/log" &
server=$!
for _ in $(seq 100); do grep -q '^HTTP' "$dir/out" && break; sleep 0.1; done
address=$(awk '$1 == "gRPC" {print $2}' "$dir/out")
mkdir -p "$dir/src/main/java"
sed -n '/^```java$/,/^```$/p' docs/flight.md | sed '/^```/d' | sed "s/23310/${address##*:}/" >"$dir/src/main/java/Main.java"
cat >"$dir/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>flight</groupId><artifactId>flight</artifactId><version>1</version>
  <properties>
    <maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency><groupId>org.apache.arrow</groupId><artifactId>flight-core</artifactId><version>18.3.0</version></dependency>
    <dependency><groupId>org.apache.arrow</groupId><artifactId>arrow-memory-netty</artifactId><version>18.3.0</version><scope>runtime</scope></dependency>
  </dependencies>
</project>
POM
mvn -q -B -f "$dir/pom.xml" compile dependency:build-classpath -Dmdep.outputFile="$dir/classpath"
java --add-opens=java.base/java.nio=ALL-UNNAMED -cp "$dir/target/classes:$(cat "$dir/classpath")" Main 2>"$dir/java.log" | tee "$dir/rows" || { cat "$dir/java.log" >&2; exit 1; }
grep -Eq '^[1-9][0-9]* rows$' "$dir/rows"
