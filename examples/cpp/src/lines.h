// Prints points, one JSON object per line.
#pragma once

#include <cstddef>
#include <string>

#include <google/protobuf/message.h>

#include "runicornapi/v1/metric.pb.h"

class Lines {
 public:
  // A limit of 0 means no limit.
  explicit Lines(std::size_t limit) : limit_(limit) {}

  void print(const std::string& line) const;

  // Prints the points of a batch; false means that the limit is reached.
  bool print(const runicornapi::v1::MetricBatch& batch);

 private:
  std::size_t limit_;
  std::size_t count_ = 0;
};

// A message as JSON.
std::string json(const google::protobuf::Message& message);

// A text as JSON.
std::string quoted(const std::string& text);
