#include "lines.h"

#include <iostream>
#include <stdexcept>

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/wrappers.pb.h>

using runicornapi::v1::MetricSeries;

namespace {

// JSON cannot represent NaN and the infinities; protobuf converts them to texts.
std::string value(const MetricSeries& series, int i) {
  switch (series.kind()) {
    case runicornapi::v1::METRIC_KIND_TEXT:
      return quoted(series.texts(i));
    case runicornapi::v1::METRIC_KIND_BOOLEAN:
      return series.values(i) != 0 ? "true" : "false";
    default:
      google::protobuf::DoubleValue number;
      number.set_value(series.values(i));
      return json(number);
  }
}

}  // namespace

void Lines::print(const std::string& line) const { std::cout << line << std::endl; }

bool Lines::print(const runicornapi::v1::MetricBatch& batch) {
  for (const MetricSeries& series : batch.series()) {
    const std::string metric = quoted(series.metric_name());
    for (int i = 0; i < series.steps_size(); i++) {
      print("{\"metric\":" + metric + ",\"step\":" + std::to_string(series.steps(i)) + ",\"value\":" + value(series, i) + "}");
      if (++count_ == limit_) return false;
    }
  }
  return true;
}

std::string json(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return text;
}

std::string quoted(const std::string& text) {
  google::protobuf::StringValue value;
  value.set_value(text);
  return json(value);
}
