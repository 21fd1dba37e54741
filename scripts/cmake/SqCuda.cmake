# SQ_CUDA=AUTO uses the CUDA toolkit if there is one, ON requires it, OFF builds for the CPU only. Sets
# SQ_WITH_CUDA. Neither building nor running the result needs a GPU or a driver.

set(SQ_CUDA AUTO CACHE STRING "Build the CUDA kernels: AUTO (if nvcc of 12.8 or newer is found), ON or OFF")
set_property(CACHE SQ_CUDA PROPERTY STRINGS AUTO ON OFF)
set(SQ_CUDA_ARCHITECTURES 80-real 86-real 89-real 90-real 100-real 120
    CACHE STRING "Compute capabilities of the CUDA kernels; later devices run the PTX of the last one")

set(SQ_WITH_CUDA OFF)
if(NOT SQ_CUDA STREQUAL OFF AND NOT SQ_FUZZ)  # fuzzing needs clang for all files
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    # Checked before the language is enabled: an older nvcc does not know the architectures, and CMake would stop.
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE about ERROR_QUIET)
    if(about MATCHES "release ([0-9.]+)" AND CMAKE_MATCH_1 VERSION_GREATER_EQUAL 12.8)
      set(SQ_WITH_CUDA ON)
    else()
      message(STATUS "${CMAKE_CUDA_COMPILER} is older than CUDA 12.8")
    endif()
  endif()
  if(SQ_WITH_CUDA)
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES ${SQ_CUDA_ARCHITECTURES})
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    # Expand the names of sets of architectures.
    set(SQ_BUILT_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES})
    if(SQ_BUILT_ARCHITECTURES STREQUAL native)
      set(SQ_BUILT_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES_NATIVE})
    elseif(SQ_BUILT_ARCHITECTURES STREQUAL all)
      set(SQ_BUILT_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES_ALL})
    elseif(SQ_BUILT_ARCHITECTURES STREQUAL all-major)
      set(SQ_BUILT_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES_ALL_MAJOR})
    endif()
    if(SQ_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${SQ_CCACHE})
    endif()
  elseif(SQ_CUDA STREQUAL ON)
    message(FATAL_ERROR "SQ_CUDA=ON, but there is no CUDA toolkit of 12.8 or newer: put its nvcc on the PATH, "
                        "or pass -DCMAKE_CUDA_COMPILER=<path of nvcc>")
  endif()
endif()
