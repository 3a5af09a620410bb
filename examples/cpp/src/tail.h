#pragma once

#include <chrono>
#include <random>
#include <string>

#include "failure.h"
#include "lines.h"
#include "runicornapi/v1/metric_service.grpc.pb.h"

// Prints the points of a run as they are logged, until it ends. However often the
// connection fails, no point is lost or printed twice: the stream resumes after the
// last printed message. A program that is to resume after its own restart stores each
// message's resume_token together with the message's points.
class Tail {
 public:
  Tail(std::string address, const std::string& run, int cut_after, Lines& out);
  void run();

 private:
  grpc::Status connection();
  bool print(const runicornapi::v1::TailMetricsResponse& message);
  std::chrono::duration<double> delay(const grpc::Status& status);

  const std::string address_;
  const int cut_after_;
  Lines& out_;
  runicornapi::v1::TailMetricsRequest request_;
  int messages_ = 0;
  int failures_ = 0;  // consecutive
  std::minstd_rand random_{std::random_device{}()};
};
